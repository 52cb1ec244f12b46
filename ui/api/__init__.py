"""The models of a workspace behind an address that speaks OpenAI's protocol."""
