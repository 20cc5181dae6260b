"""The small shipped teachers: weights, model cards, and the scripts that made them."""
