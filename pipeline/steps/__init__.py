"""One module a DAG node: what a pod runs, in the order the data takes."""
