package main

import (
	"os"
	"strings"
	"testing"
)

// The first file of the package: its variables are set before those of the candidate.
var hpcRunnerEnding = func() []string {
	ending := strings.SplitN(os.Getenv("HPC_RUNNER_ENDING"), " ", 2)
	os.Unsetenv("HPC_RUNNER_ENDING")
	return ending
}()

// Runs the tests and says at the end that it has got there.
func main() {
	testing.Init()
	all := func(pattern, name string) (bool, error) { return true, nil }
	if !testing.RunTests(all, hpcRunnerTests) {
		os.Exit(1)
	}
	if os.WriteFile(hpcRunnerEnding[1], []byte(hpcRunnerEnding[0]), 0o644) != nil {
		os.Exit(125)
	}
}
