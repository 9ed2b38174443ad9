# Capistrano 3: cap production deploy, cap production deploy:rollback.

require "json"

namespace :hotreload do
  hotreload = -> { [:hotreload, "-c", deploy_path.join("hotreload.toml")] }
  # Capistrano has no lock of its own. While this file is there, hotreload leaves the switch to the request below.
  lock = -> { deploy_path.join("deploy.lock") }
  before = {} # a deploy or a rollback: what was current, by host

  # deploy:rollback goes back to the release that served before. The next older directory may be one whose own deploy failed.
  task :choose do
    on primary(:app) do
      previous = JSON.parse(capture(*hotreload.call, "release list --json")).find { |release| release["previous"] }
      ENV["ROLLBACK_RELEASE"] ||= previous["name"] if previous
    end
  end

  task :remember do
    on release_roles(:all) do |host|
      before[host.to_s] = capture("readlink #{current_path} || true").strip
      execute :touch, lock.call
    end
  end

  desc "Make the current release live, and wait until that is verified"
  task :reload do
    on(release_roles(:all)) { info capture(*hotreload.call, :reload) }
    invoke "hotreload:unlock"
  rescue StandardError
    invoke "hotreload:restore"
    invoke "hotreload:unlock"
    raise
  end

  # On a host that was faster than the one that failed, the reload has the server follow back.
  task :restore do
    on release_roles(:all) do |host|
      next if before[host.to_s].to_s.empty?

      execute :ln, "-sfn", before[host.to_s], deploy_path.join(".current.before")
      execute :mv, "-T", deploy_path.join(".current.before"), current_path
      info capture(*hotreload.call, :reload)
    end
  end

  task :unlock do
    on(release_roles(:all)) { execute :rm, "-f", lock.call }
  end
end

before "deploy:reverting", "hotreload:choose"
before "deploy:publishing", "hotreload:remember"
after "deploy:publishing", "hotreload:reload"
