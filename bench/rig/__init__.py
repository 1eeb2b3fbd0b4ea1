"""What the benchmarks share: trades, a broker of their own, pinned children, one way to report."""
