package main

import "context"

type checkCmd struct{ where }

// Run checks.
func (c *checkCmd) Run(ctx context.Context, std *streams) error { return nil }

func (r *runCmd) requirements() error { return nil }
