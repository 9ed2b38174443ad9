package signals

var platformRoles map[string]func(argument string)
