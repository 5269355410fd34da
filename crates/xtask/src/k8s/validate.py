"""Holds every object of the files named on the command line against the schemas of several Kubernetes versions.

Started by `cargo xtask k8s` with the versions, then `--`, then the files. Prints what is wrong and, in the last line, how
many objects were looked at and which kinds no version knows: those are checked by the API server, which has their CRDs.
"""

import sys

import kubernetes_validate
import yaml


def main():
    split = sys.argv.index("--")
    versions, files = sys.argv[1:split], sys.argv[split + 1 :]
    checked, foreign, wrong = 0, set(), 0
    for path in files:
        with open(path, encoding="utf-8") as file:
            objects = [found for found in yaml.safe_load_all(file) if found]
        for found in objects:
            name = f"{found['kind']} {found['metadata']['name']}"
            for version in versions:
                try:
                    kubernetes_validate.validate(found, version, strict=True)
                    checked += 1
                except kubernetes_validate.SchemaNotFoundError:
                    foreign.add(found["kind"])
                except kubernetes_validate.ValidationError as error:
                    wrong += 1
                    place = ".".join(str(part) for part in error.path)
                    print(f"{path}: {name}: {version}: {place}: {error.message}")
    print(f"{checked} checked, {wrong} wrong, left to the server: {' '.join(sorted(foreign)) or 'none'}")
    return 1 if wrong or not checked else 0


sys.exit(main())
