package php

import "testing"

func TestINI(t *testing.T) {
	p := realPHP(t)
	p.Args = []string{"-d", "disable_functions=exec,system"}
	values, err := p.INI(t.Context(), "disable_functions", "no.such_setting", "precision")
	if err != nil {
		t.Fatal(err)
	}
	if _, known := values["no.such_setting"]; known || values["disable_functions"] != "exec,system" || values["precision"] == "" {
		t.Errorf("%v", values)
	}
	if _, err := fakePHP(t, "echo noise").INI(t.Context(), "precision"); err == nil {
		t.Error("noise was taken for an answer")
	}
	if _, err := fakePHP(t, "exit 3").INI(t.Context(), "precision"); err == nil {
		t.Error("a failure was taken for an answer")
	}
}
