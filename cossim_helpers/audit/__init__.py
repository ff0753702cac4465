"""Can I trust my cosine? Audit, comparison and repair of vectors from anywhere, with NumPy alone."""
