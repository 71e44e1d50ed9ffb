"""The application: upload a volume, have it segmented by a trained model, look at the result, take it home.

Read on in `settings` (what a site decides), `uploads` and `intake` (what comes in), `catalogue` (with what to segment),
`jobs` and `worker` (the queue, and who works it off), `executors` (this machine, or a cluster), `results` (what came
out), `cleanup` (what goes). Nothing in these modules knows the pages that people see.
"""
