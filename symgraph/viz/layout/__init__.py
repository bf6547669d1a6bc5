"""A layered layout of our own: rows, lanes and columns, for pictures of any size, without recursion."""
