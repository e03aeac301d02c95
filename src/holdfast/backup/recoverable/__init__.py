"""What a region's objects amount to: chains, windows, gaps, points, and what is told of them."""
