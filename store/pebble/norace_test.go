//go:build !race

package pebble_test

const racing = false
