"""The neighbours, one module each. Every one is set up the way its friends would: `does` tells how."""
