part v1
