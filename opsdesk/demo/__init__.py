"""The demonstration organization: real records of a wholesaler, their loader, and their replay."""
