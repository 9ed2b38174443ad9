set :application, "app"
set :repo_url, "git@example.com:acme/app.git"
set :branch, "main"
set :deploy_to, "/srv/app"
set :keep_releases, 5

append :linked_files, ".env"
append :linked_dirs, "runtime/logs"
