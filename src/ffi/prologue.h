/*
 * dtm.h - a master, its workers, a controller and helpers behind one C API.
 */
