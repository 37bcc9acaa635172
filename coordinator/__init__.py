"""Who lives, who breeds, what to ask next; and the command line. No torch, no pixels."""
