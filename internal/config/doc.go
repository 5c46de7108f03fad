// Package config has the types of settings that the standard library has no reader for.
package config
