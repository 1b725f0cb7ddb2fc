"""The nouns that travel: frozen, tagged structs without behaviour of their own."""
