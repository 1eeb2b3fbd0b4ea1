"""What happens on EVM chains, followed exactly: reorgs, crashes and lying nodes included."""
