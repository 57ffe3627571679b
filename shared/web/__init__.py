"""What both services need of the web: bounds, tokens, headers, logs, and a server that ends well."""
