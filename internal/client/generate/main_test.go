package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The committed client is the one of the routes that this server has.
func TestTheClientIsUpToDate(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join("..", output))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("internal/client/client.gen.go is stale: run go generate ./internal/client, and commit it")
	}
}

func TestWhatTheGeneratorIsTold(t *testing.T) {
	operation := map[string]any{
		"parameters": []any{map[string]any{"name": "limit", "in": "query", "schema": map[string]any{"type": "integer"}}},
		"responses": map[string]any{
			"200":     map[string]any{"content": map[string]any{"application/json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/A"}}}},
			"default": map[string]any{"content": map[string]any{"application/problem+json": map[string]any{}}},
		},
	}
	document := prepare(map[string]any{
		"paths": map[string]any{"/log/tile/*path": map[string]any{"get": map[string]any{}}, "/a/{id}": map[string]any{"get": operation}},
	})
	paths := object(document["paths"])
	if len(paths) != 1 {
		t.Errorf("%d paths are left", len(paths))
	}
	if parameters, _ := operation["parameters"].([]any); len(parameters) != 2 || object(parameters[1])["name"] != "id" {
		t.Errorf("the parameters are %v", parameters)
	}
	good := object(object(operation["responses"])["2XX"])
	if object(good["content"])["application/json"] == nil {
		t.Errorf("the answer is %v", good)
	}
	file := map[string]any{"responses": map[string]any{"200": map[string]any{}}}
	oneAnswer(file)
	if object(object(file["responses"])["2XX"])["content"] != nil {
		t.Error("an answer without a type has one")
	}
}
