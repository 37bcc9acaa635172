"""Makes the basis files anew from their sources. Nothing here runs when masks are evolved."""
