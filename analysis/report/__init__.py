"""What people look at: the page, its figures and pictures, served live or exported as files."""
