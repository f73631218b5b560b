//go:build !race

package appliancetest

// raceDetector builds the programs with the race detector when the test has it.
const raceDetector = false
