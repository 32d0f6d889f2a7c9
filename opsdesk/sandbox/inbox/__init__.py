"""A pretend mailbox for everybody: takes any mail by SMTP and shows it in the browser."""
