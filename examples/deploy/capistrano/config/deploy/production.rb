# The user that `hotreload run` runs as: its socket is open to nobody else.
server "app.example.com", user: "app", roles: %w[app]
