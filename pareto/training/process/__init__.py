"""Process reward models: labels for the steps of solutions, and a head that learns from them."""
