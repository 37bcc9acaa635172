"""What coordinator and worker both use: shape, rendering, recognition, storage, exhibition.

One package each; none knows of islands or queues.
"""
