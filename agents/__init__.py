"""What is computed: one pure logic per file, and the Faust wiring."""
