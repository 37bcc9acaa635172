"""What travels between coordinator and worker: masks, plans, messages, bells. No torch in this folder."""
