"""fednb over NVIDIA FLARE: hospitals in processes of their own, dialling out."""
