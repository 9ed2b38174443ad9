// Package release keeps the releases of an application on disk: directories below one, of which a symlink named "current"
// leads to the one that is live.
//
// Its promise: "current" always leads to a release that was complete, whatever is killed when, and however full the disk is. It is
// switched by the rename of a link that was made beside it. What is under way stands in a journal, so that whoever comes next
// ([Turn.Recover]) knows what was half done, and finishes or undoes it. A release is never removed while it is live, while it is
// what a rollback would go back to, or while a process uses it.
//
// One at a time may change something: whoever holds the [Turn]. Looking needs none.
//
// A deploy ([Turn.Deploy]) makes a new release in steps, most of them commands, and can be resumed from the step that failed. A command
// ends when the hotreload that waits for it does, however that ends.
//
// What hotreload remembers lies in a directory ".hotreload" beside "current", as Deployer has its ".dep": the lock, which
// releases were live and which of them failed, the journal, and the logs of deploys. All of it may be deleted while nothing is
// under way; the releases themselves are the directories.
//
// The package knows no server and no process. Making a release live is a function that the caller passes in, and so is who uses
// a directory.
package release
