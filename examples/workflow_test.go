package examples_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// workflow is what is used of a GitHub Actions workflow. An unknown key in it is an error.
type workflow struct {
	Name        string
	On          map[string]map[string][]string
	Permissions map[string]string
	Concurrency struct {
		Group            string
		CancelInProgress bool `yaml:"cancel-in-progress"`
	}
	Jobs map[string]struct {
		RunsOn      string `yaml:"runs-on"`
		Environment string
		Env         map[string]string
		Steps       []step
	}
}

type step struct {
	Name string
	Uses string
	With map[string]string
	Env  map[string]string
	Run  string
}

func parseWorkflow(t *testing.T, text string) workflow {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	var w workflow
	if err := decoder.Decode(&w); err != nil {
		t.Fatal(err)
	}
	return w
}

var (
	pinned     = regexp.MustCompile(`^[\w-]+/[\w-]+@v\d+$`)
	expression = regexp.MustCompile(`\$\{\{.*?\}\}`)
	known      = regexp.MustCompile(`^\$\{\{ (secrets|vars)\.[A-Z_]+ \}\}$`)
)

func TestWorkflowsAreWellFormed(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("deploy/github/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range expression.FindAllString(string(text), -1) {
			if !known.MatchString(e) {
				t.Errorf("%s: %s", file, e)
			}
		}
		w := parseWorkflow(t, string(text))
		if w.Name == "" || len(w.On) == 0 || w.Concurrency.Group == "" || len(w.Jobs) != 1 {
			t.Errorf("%s: %+v", file, w)
		}
		for name, job := range w.Jobs {
			if job.RunsOn == "" || len(job.Steps) == 0 {
				t.Errorf("%s: job %s runs nothing, or nowhere", file, name)
			}
			for i, s := range job.Steps {
				if (s.Uses == "") == (s.Run == "") || s.Uses != "" && !pinned.MatchString(s.Uses) || s.Run != "" && s.Name == "" {
					t.Errorf("%s: step %d: either a script with a name, or an action with a version: %+v", file, i+1, s)
				}
			}
		}
	}
}

// fakeSSH does here what sshd does there: the words of the command become one line for the user's shell, in the home directory.
const fakeSSH = `#!/bin/sh
while getopts l: _; do :; done
shift $((OPTIND - 1))
case $1 in
app.example.com | app@app.example.com) ;;
*) echo "ssh: no such host: $1" >&2; exit 255 ;;
esac
shift
cd && exec sh -c "$*"
`

// workflowDeployer runs the steps of a workflow from an upload on, as GitHub's runner does: each is a script for bash, and one that fails
// is the last.
func (s *site) workflowDeployer(file string) deployer {
	s.t.Helper()
	bin := filepath.Join(s.home, "bin")
	s.write(bin+"/ssh", fakeSSH)
	w := parseWorkflow(s.t, s.adapt(file))
	return func() (int, string) {
		env := map[string]string{
			"GITHUB_SHA": s.head(), "GITHUB_ENV": filepath.Join(s.home, "github.env"),
			"PATH": bin + ":" + binDir + ":" + os.Getenv("PATH"),
		}
		var said strings.Builder
		for _, job := range w.Jobs {
			maps.Copy(env, job.Env)
			from := slices.IndexFunc(job.Steps, func(s step) bool { return s.Name == "Upload" })
			for _, step := range job.Steps[from:] {
				s.write(s.home+"/step.sh", step.Run)
				s.write(env["GITHUB_ENV"], "")
				var args []string
				for key, value := range env {
					args = append(args, key+"="+value)
				}
				code, text := s.run(s.source(), "env", append(args, "bash", "-e", s.home+"/step.sh")...)
				said.WriteString(text)
				if code != 0 {
					return code, said.String()
				}
				more, err := os.ReadFile(env["GITHUB_ENV"])
				if err != nil {
					s.t.Fatal(err)
				}
				for line := range strings.Lines(string(more)) {
					key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
					env[key] = value
				}
			}
		}
		return 0, said.String()
	}
}

func TestReleaseWorkflow(t *testing.T) {
	t.Parallel()
	s := newSite(t, "rsync", "bash")
	s.tryDeploys(s.workflowDeployer("github/release.yml"), 5)
}

func TestDeployWorkflow(t *testing.T) {
	t.Parallel()
	s := newSite(t, "rsync", "bash")
	s.tryDeploys(s.workflowDeployer("github/deploy.yml"), 5)
	if _, err := os.Stat(s.dir + "/current/migrated"); err != nil {
		t.Errorf("the steps of hotreload.toml: %v", err)
	}
}
