package config

// Script is the PHP script that the server's command runs, absolute; "" when it runs none that can be told.
func (c *Config) Script() string { return entryOf(c.Server.Dir, c.Server.Command).file }

// Code is the code of a PHP file without its comments; "" when it cannot be read. It never blocks, and of a large file
// it reads the first part only.
func Code(file string) string { return source(file) }
