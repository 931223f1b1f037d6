"""Who somebody is: sessions, passwords, tokens."""
