"""What is fetched from the Hugging Face hub when a user asks for it."""
