"""The pages that people see. `main` is the script that Streamlit runs; each page is a function in its own module."""
