<?php

// Deployer 7 and 8: dep deploy, dep rollback. What hotreload adds begins at "hotreload".

namespace Deployer;

require 'recipe/common.php';

set('repository', 'git@example.com:acme/app.git');
set('shared_files', ['.env']);
set('shared_dirs', ['runtime/logs']);
set('keep_releases', 5);

host('app.example.com')
    ->set('remote_user', 'app') // the user that `hotreload run` runs as: its socket is open to nobody else
    ->set('deploy_path', '/srv/app');

desc('Deploys the application');
task('deploy', [
    'deploy:prepare',
    'deploy:vendors',
    'deploy:publish',
]);

// hotreload

set('bin/hotreload', 'hotreload -c {{deploy_path}}/hotreload.toml');

// `dep rollback` goes back to the release that served before. The next older directory may be one whose own deploy failed half way.
set('rollback_candidate', function () {
    foreach (json_decode(run('{{bin/hotreload}} release list --json'), true) as $release) {
        if ($release['previous']) {
            return $release['name'];
        }
    }
    throw new \RuntimeException('No release served before this one.');
});

desc('Makes the current release live, and waits until that is verified');
task('hotreload:reload', function () {
    // This is inside of Deployer's own lock: until deploy:unlock, hotreload leaves the switch to this request. Its exit code becomes that
    // of `dep`. The time limit lies above all of hotreload's own together.
    info(run('{{bin/hotreload}} reload', timeout: 600));
});

task('hotreload:remember', function () {
    set('current_before', basename(run('readlink {{current_path}} || true')));
})->hidden();

// Runs when all hosts serve the new release: what fails from here on (deploy:cleanup) is no reason to go back.
task('hotreload:forget', function () {
    set('current_before', '');
})->hidden();

// What failed before the switch has nothing to go back from; nor has the first deploy.
task('hotreload:restore', function () {
    $before = get('current_before', '');
    if ($before === '' || $before === basename(run('readlink {{current_path}} || true'))) {
        return;
    }
    run("rm -f {{deploy_path}}/releases/$before/BAD_RELEASE"); // there if it was a rollback that failed
    set('rollback_candidate', $before);
    invoke('rollback');
    invoke('hotreload:reload'); // a host that was faster than the one that failed serves the new release already
})->hidden();

before('deploy:symlink', 'hotreload:remember');
after('deploy:symlink', 'hotreload:reload');
before('rollback', 'hotreload:remember');
after('rollback', 'hotreload:reload');
after('hotreload:reload', 'hotreload:forget');

after('deploy:failed', 'hotreload:restore');
after('deploy:failed', 'deploy:unlock');
fail('rollback', 'hotreload:restore');
