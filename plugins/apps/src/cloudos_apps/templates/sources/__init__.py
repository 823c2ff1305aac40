"""Template sources on the network: downloads and their schedule."""
