"""dlib's machines: weights read field by field, arithmetic batched in torch."""
