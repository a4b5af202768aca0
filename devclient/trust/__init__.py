"""What a device believes of a mirror, and why: The Update Framework, over our HTTP and by our clock."""
