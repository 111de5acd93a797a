package instance

// manyFiles stands for no limit.
const manyFiles = 1 << 20
