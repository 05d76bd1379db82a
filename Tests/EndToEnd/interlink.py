"""interLink's side of its contract, as far as the templates of deploy/interlink need it."""

from __future__ import annotations

import json
from pathlib import Path

from lab import paths
from lab.commands import run

_PROGRAM = """package main

import ("encoding/json"; "os"; "text/template")

func main() {
	var values map[string]any
	if err := json.Unmarshal([]byte(os.Args[2]), &values); err != nil { panic(err) }
	// A port is a whole number there (int32), and JSON's numbers are none of those that templates compare with one.
	for _, port := range values["ExposedPorts"].([]any) {
		port := port.(map[string]any)
		port["Port"] = int32(port["Port"].(float64))
	}
	parsed := template.Must(template.New("").Option("missingkey=error").ParseFiles(os.Args[1]))
	if err := parsed.Templates()[0].Execute(os.Stdout, values); err != nil { panic(err) }
}
"""


def rendered(folder: Path, name: str, password: str, **more: str) -> str:
    """A template of deploy/interlink as the Virtual Kubelet fills it in, by Go's text/template; `more` goes before the usual values."""
    program = folder / "render.go"
    program.write_text(_PROGRAM)
    ports = [{"Port": 7080, "TargetPort": 7080, "Name": "http", "Protocol": "TCP"}, {"Port": 7053, "TargetPort": 7053, "Name": "dns", "Protocol": "UDP"},
             {"Port": 7081, "TargetPort": 7081, "Name": "", "Protocol": ""}, {"Port": 8080, "TargetPort": 8080, "Name": "api", "Protocol": "TCP"},
             {"Port": 28081, "TargetPort": 28081, "Name": "more", "Protocol": "TCP"}]
    values = {"Name": "web-default", "Namespace": "default-wstunnel", "RandomPassword": password, "WildcardDNS": "example.test", "ExposedPorts": ports,
              **more}
    return run(["env", "GO111MODULE=off", f"GOCACHE={folder}/gocache", "HOME=/tmp", "go", "run", str(program),
                str(paths.REPOSITORY / "deploy/interlink" / name), json.dumps(values)], timeout=120)
