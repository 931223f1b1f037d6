"""One module for each word after `dare`; each is imported only when its word is used."""
