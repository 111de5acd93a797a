// This file lets the tests declare a function without a body.
