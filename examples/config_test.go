package examples_test

import (
	"path/filepath"
	"testing"

	"github.com/hotreload/hotreload/config"
)

func TestConfigurationsLoad(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*/hotreload.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		dir, err := filepath.Abs(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(config.Source{WorkDir: dir, Mode: "watch"}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
