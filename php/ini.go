package php

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// iniScript answers with those of its arguments that are settings of this php.
const iniScript = `$a = []; foreach (array_slice($argv, 1) as $n) { if (($v = ini_get($n)) !== false) { $a[$n] = $v; } }
echo "\x02", json_encode((object) $a, JSON_INVALID_UTF8_SUBSTITUTE), "\x03";`

// INI asks php for settings by their names, as ini_get has them. One that this php does not know is missing in the
// answer. See [PHP.Settings] for those that matter for a reload.
func (p PHP) INI(ctx context.Context, names ...string) (map[string]string, error) {
	cmd := p.command(ctx, p.Args, append([]string{"-r", iniScript, "--"}, names...)...)
	var output, message bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &message
	if err := p.run(cmd); err != nil {
		return nil, fmt.Errorf("ask %s for settings: %w: %s", p.Path, err, lastLine(append(message.Bytes(), output.Bytes()...)))
	}
	_, answer, _ := strings.Cut(output.String(), "\x02")
	answer, _, _ = strings.Cut(answer, "\x03")
	var values map[string]string
	if err := json.Unmarshal([]byte(answer), &values); err != nil {
		return nil, fmt.Errorf("ask %s for settings: read the answer: %w", p.Path, err)
	}
	return values, nil
}
