/* The workloads of package workload with C SQLite alone:
 *
 *	workload DB JOURNAL SYNC PAGE MODE N RATE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sqlite3.h"

#define TEXT \
	"printf('{\"token\":\"%s\",\"kind\":\"page view\",\"path\":\"/articles/comments\"," \
	"\"status\":200,\"agent\":\"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\"," \
	"\"accept\":\"text/html,application/xhtml+xml\",\"language\":\"en-US,en;q=0.5\"," \
	"\"encoding\":\"gzip, deflate, br, zstd\",\"cached\":false}', hex(randomblob(100)))"

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, k INTEGER, b BLOB);"
	"CREATE INDEX IF NOT EXISTS t_k ON t(k);"
	"CREATE TABLE IF NOT EXISTS u(id INTEGER PRIMARY KEY, b BLOB)";

static const struct {
	const char *mode, *text;
} statements[] = {
	{"insert", "INSERT INTO t(k, b) VALUES (abs(random()) % 1000000, randomblob(480))"},
	{"batch", "INSERT INTO t(k, b) VALUES (abs(random()) % 1000000, randomblob(480))"},
	{"append", "INSERT INTO u(b) VALUES (" TEXT ")"},
	{"edit", "UPDATE u SET b = replace(b, substr(b, 11, 200), hex(randomblob(100)))"
		" WHERE id = 1 + abs(random()) % (SELECT max(id) FROM u)"},
	{"update", "UPDATE t SET b = randomblob(480) WHERE id = 1 + abs(random()) % (SELECT max(id) FROM t)"},
	{"reindex", "UPDATE t SET k = abs(random()) % 1000000, b = randomblob(480)"
		" WHERE id = 1 + abs(random()) % (SELECT max(id) FROM t)"},
	{"point", "SELECT b FROM t WHERE id = 1 + abs(random()) % (SELECT max(id) FROM t)"},
	{"scan", "SELECT count(*) FROM t WHERE length(b) = 480 AND k >= 0"},
};

static sqlite3 *db;

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, db ? sqlite3_errmsg(db) : "wrong");
	exit(1);
}

static void execute(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *text = sqlite3_vmprintf(format, args);
	va_end(args);
	if (!text || sqlite3_exec(db, text, 0, 0, 0) != SQLITE_OK)
		fail(format);
	sqlite3_free(text);
}

static void once(sqlite3_stmt *stmt)
{
	int rc;
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		;
	if (rc != SQLITE_DONE)
		fail("step");
	sqlite3_reset(stmt);
}

/* now is in microseconds */
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void report(double *took, int n, double all)
{
	double sum = 0;
	for (int i = 0; i < n; i++)
		sum += took[i];
	qsort(took, n, sizeof *took, compare);
	printf("{\"n\":%d,\"seconds\":%f,\"mean\":%f,\"p50\":%f,\"p99\":%f,\"max\":%f,\"sqlite\":\"%s\"}\n", n, all / 1e6,
		n ? sum / n : 0, n ? took[n / 2] : 0, n ? took[n * 99LL / 100] : 0, n ? took[n - 1] : 0, sqlite3_libversion());
}

int main(int argc, char **argv)
{
	if (argc != 8)
		fail("usage: workload DB JOURNAL SYNC PAGE MODE N RATE");
	const char *mode = argv[5];
	int n = atoi(argv[6]);
	double rate = atof(argv[7]);
	if (sqlite3_open(argv[1], &db) != SQLITE_OK)
		fail("open");
	sqlite3_busy_timeout(db, 10000);
	execute("PRAGMA page_size=%s; PRAGMA journal_mode=%s; PRAGMA synchronous=%s", argv[4], argv[2], argv[3]);
	double began = now();
	if (!strcmp(mode, "fill")) {
		execute("%s", schema);
		execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
			" INSERT INTO t(k, b) SELECT abs(random()) %% 1000000, randomblob(480) FROM n", n);
		execute("%s", "INSERT INTO u(b) SELECT " TEXT " FROM t WHERE id % 30 = 0");
		double took = now() - began;
		report(&took, 1, took);
		return sqlite3_close(db) != SQLITE_OK;
	}
	if (!strcmp(mode, "idle")) {
		sleep(n);
		report(0, 0, now() - began);
		return sqlite3_close(db) != SQLITE_OK;
	}
	const char *text = 0;
	for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
		if (!strcmp(mode, statements[i].mode))
			text = statements[i].text;
	if (!text) {
		fprintf(stderr, "no mode %s\n", mode);
		return 2;
	}
	sqlite3_stmt *stmt;
	if (sqlite3_prepare_v2(db, text, -1, &stmt, 0) != SQLITE_OK)
		fail("prepare");
	double *took = calloc(n + 1, sizeof *took);
	began = now();
	for (int i = 0; i < n; i++) {
		double wait = rate > 0 ? began + i / rate * 1e6 - now() : 0;
		if (wait > 0)
			usleep((useconds_t)wait);
		double from = now();
		if (strcmp(mode, "batch")) {
			once(stmt);
		} else {
			execute("BEGIN");
			for (int k = 0; k < 1000; k++)
				once(stmt);
			execute("COMMIT");
		}
		took[i] = now() - from;
	}
	report(took, n, now() - began);
	sqlite3_finalize(stmt);
	return sqlite3_close(db) != SQLITE_OK;
}
