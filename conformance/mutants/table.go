package main

// What the model of conformance/promela is broken in, too.
var (
	metaFirst = []edit{
		{"tracker/build.go", "	housekeeping error  // staged, but not tidied up\n", "	housekeeping error  // staged, but not tidied up\n	later        []func() error\n"},
		{"tracker/build.go", "	if p.err = p.ts.producer.StageChunk(f, data); p.err == nil ||", "	held := append([]byte(nil), data...)\n	p.later = append(p.later, func() error { return p.ts.producer.StageChunk(f, held) })\n	if p.err == nil ||"},
		{"tracker/build.go", "	p.sequence = m.Sequence\n", "	p.sequence = m.Sequence\n	for _, stage := range p.later {\n		if err := stage(); err != nil {\n			return err\n		}\n	}\n"},
	}
	deleteFirst = []edit{{"copier/upload.go", "		if err := p.put(ctx, cl.Chunks, name", "		if err := u.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {\n			return err\n		}\n		if err := p.put(ctx, cl.Chunks, name"}}
	wrongOrder  = []edit{
		{"spool/consumer.go", "[]string{readyDir, consumingDir} { // content", "[]string{consumingDir, readyDir} { // content"},
		{"spool/consumer.go", "	some, err := nonEmpty(c.dir, stagedChunks)\n	if err != nil {\n		return false, fmt.Errorf(\"spool: look for chunks: %w\", err)\n	}\n	if some {\n		return false, nil\n	}\n	busy, err := c.Busy()\n	return !busy && err == nil, err\n", "	if busy, err := c.Busy(); busy || err != nil {\n		return false, err\n	}\n	some, err := nonEmpty(c.dir, stagedChunks)\n	return !some && err == nil, err\n"},
	}
)

// mutants are in the order of the table in spool/SPOOL.md.
var mutants = []mutant{
	{
		id: "meta-before-chunks", what: "the manifest is staged before its chunks", quick: true,
		edits: metaFirst,
		pkg:   "tracker", test: "TestFaultAtEveryOperation",
	},
	{
		id: "delete-before-upload", what: "a chunk is removed before it is uploaded", quick: true,
		edits: deleteFirst,
		pkg:   "copier", test: "TestCrashAtEachRequest",
	},
	{
		id: "emptiness-order", what: "consuming, ready and staging are found empty in the wrong order", quick: true,
		edits: wrongOrder,
		pkg:   "spool", test: "TestNothingSlipsPast",
	},
	{
		id: "meta-before-chunks-model", what: "the same, found by the state machine", quick: true,
		edits: metaFirst, pkg: "conformance/model", test: "TestModel",
	},
	{
		id: "delete-before-upload-model", what: "the same, found by the state machine", quick: true,
		edits: deleteFirst, pkg: "conformance/model", test: "TestModel",
	},
	{
		id: "emptiness-order-model", what: "the same, found by the state machine", quick: true,
		edits: wrongOrder, pkg: "conformance/model", test: "TestModel",
	},
	{
		id: "I1", what: "files may be written after they appeared",
		edits: []edit{{"spool/share.go", "return 0o400 | s.group&0o040", "return 0o600 | s.group&0o040"}},
		pkg:   "spool", test: "TestEverythingFollowsThePrefix",
	},
	{
		id: "I1-whole", what: "a file is written where it appears",
		edits: []edit{{"internal/fsx/publish.go", "f, err := fsys.Create(scratch, ", "f, err := fsys.Create(\"f\", "}},
		pkg:   "internal/fsx", test: "TestPublishAndCrash",
	},
	{
		id: "I2", what: "a chunk is uploaded whatever its content",
		edits: []edit{{"copier/upload.go", "case errors.Is(err, spool.ErrCorrupt), err == nil && manifest.Sum(data) != sum:", "case errors.Is(err, spool.ErrCorrupt):"}},
		pkg:   "copier", test: "TestCorruptChunk",
	},
	{
		id: "I3", what: "chunks are not staged",
		edits: []edit{{"tracker/build.go", "	if p.err = p.ts.producer.StageChunk(f, data); p.err == nil ||", "	if p.err == nil ||"}},
		pkg:   "tracker", test: "TestHistories",
	},
	{
		id: "I4", what: "chunks are garbage that another manifest in the spool references",
		edits: []edit{{"spool/garbage.go", "len(names) > 0 && len(manifests) > 1 {", "len(names) > 0 && len(manifests) > 1<<20 {"}},
		pkg:   "spool", test: "TestGarbageSparesOtherManifests",
	},
	{
		id: "I5", what: "the ready snapshot lacks its chunks",
		edits: []edit{{"spool/publish.go", "	for _, name := range staged {\n		if f, err", "	for _, name := range staged[:0] {\n		if f, err"}},
		pkg:   "spool", test: "TestReadyIsPublishedOnceUntilTaken",
	},
	{
		id: "I6", what: "the ready snapshot is built in its place",
		edits: []edit{{"spool/publish.go", "	tmp := stagedScratch + \"/\" + p.root.scratchName()\n", "	tmp := readyDir\n"}},
		pkg:   "conformance/model", test: "TestModel",
	},
	{
		id: "I7", what: "a snapshot in consuming is thrown away for the next",
		edits: []edit{{"spool/consumer.go", "		err := c.dir.RenameDir(readyDir, consumingDir)\n", "		if some, _ := nonEmpty(c.dir, readyDir); some {\n			_ = c.dir.RemoveAll(consumingDir)\n		}\n		err := c.dir.RenameDir(readyDir, consumingDir)\n"}},
		pkg:   "spool", test: "TestReadyIsPublishedOnceUntilTaken",
	},
	{
		id: "I8", what: "the manifest of a batch is removed before it is uploaded",
		edits: []edit{{"copier/ready.go", "		err := p.publish(ctx, m, nil)\n", "		if err := removeManifests(b, names); err != nil {\n			return err\n		}\n		err := p.publish(ctx, m, nil)\n"}},
		pkg:   "conformance/model", test: "TestModel",
	},
	{
		id: "I9", what: "all snapshots have the same name",
		edits: []edit{{"spool/layout.go", "	return fmt.Sprintf(\"%s.%d.%d.%s\", r.opts.Process, r.opts.Now().UnixMicro(), r.counter.Add(1), r.random())\n", "	return \"1.1.1.1\"\n"}},
		pkg:   "spool", test: "TestReadyIsPublishedOnceUntilTaken",
	},
	{
		id: "I10", what: "garbage is collected as if each snapshot were published",
		edits: []edit{{"tracker/build.go", "producer.CollectGarbage(published, h.index.chunks, p.copied, h.needs)", "producer.CollectGarbage(published || err == nil, h.index.chunks, p.copied, h.needs)"}},
		pkg:   "tracker", test: "TestHistories",
	},
	{
		id: "I11", what: "consuming is found empty before ready",
		edits: []edit{{"spool/consumer.go", "[]string{readyDir, consumingDir} { // content", "[]string{consumingDir, readyDir} { // content"}},
		pkg:   "spool", test: "TestNothingSlipsPast",
	},
	{
		id: "I12", what: "the identity of a manifest does not tell that it was published",
		edits: []edit{{"spool/consumer.go", "		now.ChangeTime.Equal(m.info.ChangeTime) && now", "		now"}},
		pkg:   "spool", test: "TestPublicationChangesIdentityOfStagedManifest",
	},
	{
		id: "I13", what: "chunks that could not be uploaded count as uploaded",
		edits: []edit{{"copier/upload.go", "		if err := p.put(ctx, cl.Chunks, name, p.c.cores.compress(data)); err != nil {", "		if err := p.put(ctx, cl.Chunks, name, p.c.cores.compress(data)); err != nil && isOutage(err) && ctx.Err() != nil {"}},
		pkg:   "copier", test: "TestEachRequestFails",
	},
	{
		id: "I14", what: "the staged manifest is uploaded while a snapshot waits",
		edits: []edit{{"spool/consumer.go", "	return !busy && err == nil, err\n", "	return (!busy || c.dir != nil) && err == nil, err\n"}},
		pkg:   "spool", test: "TestNothingSlipsPast",
	},
	{
		id: "I15", what: "staged manifests are never uploaded",
		edits: []edit{{"copier/staged.go", "	for _, m := range staged {\n		err := p.stagedManifest", "	for _, m := range staged[:0] {\n		err := p.stagedManifest"}},
		pkg:   "copier", test: "TestFlush",
	},
	{
		id: "I16", what: "the spool reaches a network",
		edits: []edit{{"spool/doc.go", "package spool\n", "package spool\n\nimport _ \"net/http\"\n"}},
		pkg:   "", test: "TestNoNetworkInTheCommitPath",
	},
	{
		id: "I17", what: "there is no collection of garbage",
		edits: []edit{{"spool/garbage.go", "	if !published && len(p.garbage) == 0", "	if p.pending > 0 || !published && len(p.garbage) == 0"}},
		pkg:   "spool", test: "TestGarbage",
	},
	{
		id: "I18-sync", what: "what appears in a spool is synced",
		edits: []edit{{"internal/fsx/publish.go", "_, err = f.Write(data)", "_, err = f.Write(data)\n	_ = f.Sync()"}},
		pkg:   "internal/fsx", test: "TestPublishAndCrash",
	},
	{
		id: "I18", what: "the time of the boot tells boots apart, and not its uuid alone",
		edits: []edit{{"spool/root.go", "for drift := int64(-bootDrift); drift <= bootDrift; drift++ {", "for drift := int64(0); drift <= 0; drift++ {"}},
		pkg:   "spool", test: "TestBootTimesThatDifferMeet",
	},
	{
		id: "I19", what: "a failed transaction is taken for a state of the database",
		edits: []edit{{"tracker/snapshot.go", "	} else if hot {\n", "	} else if hot && held > Exclusive {\n"}},
		pkg:   "tracker", test: "TestHotJournal",
	},
	{
		id: "I20", what: "a full last chunk is followed by an empty one",
		edits: []edit{{"tracker/build.go", "int((size + manifest.ChunkSize - 1) / manifest.ChunkSize)", "int(size/manifest.ChunkSize + 1)"}},
		pkg:   "tracker", test: "TestSizes",
	},
	{
		id: "I21", what: "a snapshot is not full although there is doubt",
		edits: []edit{{"tracker/snapshot.go", "	case p.base == nil, forced, rescan:\n", "	case p.base == nil, (forced || rescan) && p.base.Sequence == 0:\n"}},
		pkg:   "tracker", test: "TestDecisions",
	},
	{
		id: "I22", what: "the object of a chunk depends on more than its content",
		edits: []edit{{"copier/upload.go", "p.put(ctx, cl.Chunks, name, p.c.cores.compress(data))", "p.put(ctx, cl.Chunks, name+p.e.key.Target, p.c.cores.compress(data))"}},
		pkg:   "copier", test: "TestCrashAtEachRequest",
	},
	{
		id: "I23", what: "a snapshot starts from whatever is staged",
		edits: []edit{{"tracker/snapshot.go", "		p.incremental = sameID(p.base.VersionID, t.prev) ||", "		p.incremental = len(p.base.VersionID) > 0 || sameID(p.base.VersionID, t.prev) ||"}},
		pkg:   "tracker", test: "TestDecisions",
	},
	{
		id: "I24", what: "a panic of the tracker reaches SQLite",
		edits: []edit{{"tracker/tracker.go", "		if r := recover(); r != nil {\n			err := fmt.Errorf(\"%w: %s: %v\", ErrPanic, op, r)", "		if r := recover(); r != nil {\n			panic(r)\n		} else if r != nil {\n			err := fmt.Errorf(\"%w: %s: %v\", ErrPanic, op, r)"}},
		pkg:   "tracker", test: "TestPanic",
	},
	{
		id: "I25", what: "two passes work on a spool at once",
		edits: []edit{{"copier/copier.go", "turn:     make(chan struct{}, 1),", "turn:     make(chan struct{}, 2),"}},
		pkg:   "copier", test: "TestOnePassAtATime",
	},
	{
		id: "I26", what: "a reader moves to a newer snapshot within a transaction",
		edits: []edit{{"wasmvfs/snapshot_file.go", "	if f.lock != vfs.LOCK_NONE {\n		return \"\", sqlite3.LOCKED\n", "	if f.lock > vfs.LOCK_SHARED {\n		return \"\", sqlite3.LOCKED\n"}},
		pkg:   "wasmvfs", test: "TestSnapshotStaysWithinATransaction",
	},
	{
		id: "W2", what: "the commit path reaches the store",
		edits: []edit{{"tracker/doc.go", "package tracker\n", "package tracker\n\nimport _ \"github.com/boule-db/boule/store\"\n"}},
		pkg:   "", test: "TestNoNetworkInTheCommitPath",
	},
	{
		id: "W3", what: "the group of the prefix does not own what is made below it",
		edits: []edit{{"spool/share.go", "	return 0o700 | s.group | fs.ModeSetgid\n", "	return 0o700\n"}},
		pkg:   "spool", test: "TestEverythingFollowsThePrefix",
	},
	{
		id: "W5", what: "spools of earlier boots stay",
		edits: []edit{{"spool/unflushed.go", "		if !ok || id.UUID == r.boot.UUID {\n", "		if !ok || id.UUID != \"\" {\n"}},
		pkg:   "spool", test: "TestEarlierBootsAreCleanedAndReported",
	},
	{
		id: "W9", what: "a snapshot that failed is not retried",
		edits: []edit{{"tracker/schedule.go", "if d.putOffUntil.IsZero() && ts.failures > 0 && !ts.nextTry.After(now) {", "if false {"}},
		pkg:   "tracker", test: "TestBackoff",
	},
	{
		id: "W11", what: "a database seen for the first time gets no version id",
		edits: []edit{{"tracker/snapshot.go", "	if len(v.id) == 0 {\n		// First sight.", "	if len(v.id) > 1<<20 {\n		// First sight."}},
		pkg:   "tracker", test: "TestFirstSightOfFileWithoutID",
	},
	{
		id: "W19", what: "under locking_mode=EXCLUSIVE nothing is staged before the end",
		edits: []edit{{"wasmvfs/db.go", "if f.exclusive && f.needsSnapshot() {", "if false {"}},
		pkg:   "wasmvfs", test: "TestExclusiveLockingMode",
	},
	{
		id: "W20", what: "a visit closes the database, and with it the locks of others in this process",
		edits: []edit{{"wasmvfs/db.go", "if f.vfs.visits.park(parkedFile{f.path, f.visit.asked, f.visit.got, f.File}) {", "if false {"}},
		pkg:   "wasmvfs", test: "TestVisitorKeepsForeignLocks",
	},
	{
		id: "W20-status", what: "what asks for the state closes the database",
		edits: []edit{{"header.go", "if then, err := f.Stat(); err == nil && os.SameFile(then, now) {", "if false {"}},
		pkg:   "", test: "TestStatusAndFlushKeepForeignLocks",
	},
	{
		id: "W23", what: "everybody may have made the directory of a spool",
		edits: []edit{{"spool/share.go", "	case info.Mode&0o002 != 0:\n		return fmt.Errorf(\"%w: everybody may write to %s\", ErrUnsafe, path)\n", ""}},
		pkg:   "spool", test: "TestUnsafeSpoolIsRefused",
	},
	{
		id: "W28", what: "two processes whose boot times differ do not find each other",
		edits: []edit{{"spool/root.go", "for drift := int64(-bootDrift); drift <= bootDrift; drift++ {", "for drift := int64(0); drift <= 0; drift++ {"}},
		pkg:   "spool", test: "TestBootTimesThatDifferMeet",
	},
	{
		id: "W29", what: "spools of deleted databases with long paths stay",
		edits: []edit{{"spool/clean.go", "				path = r.pathOf(base, key)\n			}\n			if path", "				path = \"\"\n			}\n			if path"}},
		pkg:   "spool", test: "TestShortenedAndSimilarNamesAreCleaned",
	},
	{
		id: "W32", what: "each transaction of a burst takes a snapshot",
		edits: []edit{{"tracker/snapshot.go", "if written && len(waiting) == 0 && t.putOff(held, v, forced) {", "if false {"}},
		pkg:   "tracker", test: "TestBurst",
	},
	{
		id: "W32-chain", what: "a burst of two processes is not one",
		edits: []edit{{"tracker/burst.go", "if !t.full && sameID(b.id, t.prev) {", "if false {"}},
		pkg:   "tracker", test: "TestBurstOfTwoProcesses",
	},
	{
		id: "W32-foreign", what: "a burst goes on over what a stranger wrote",
		edits: []edit{{"tracker/burst.go", "if !t.full && sameID(b.id, t.prev) {", "if !t.full {"}},
		pkg:   "tracker", test: "TestBurstOfAStranger",
	},
	{
		id: "W32-crash", what: "what a process that died had put off is forgotten",
		edits: []edit{{"tracker/burst.go", "case sameID(b.id, v.id):", "case false:"}},
		pkg:   "tracker", test: "TestBurstSurvivesItsProcess",
	},
	{
		id: "W32-close", what: "the last connection leaves without what was put off",
		edits: []edit{{"wasmvfs/db.go", "if f.LockState() == vfs.LOCK_NONE && f.lastChance() {", "if false {"}},
		pkg:   "wasmvfs", test: "TestLastCloseEndsBurst",
	},
	{
		id: "known", what: "what is staged counts as known although another process has staged since",
		edits: []edit{{"spool/producer.go", "	return err == nil && now.Dev == p.last.info.Dev && now.Ino == p.last.info.Ino\n", "	return err == nil && now.Size >= 0\n"}},
		pkg:   "tracker", test: "TestStagedByAnotherProcess",
	},
	{
		id: "ready-parts", what: "a part of a large snapshot is made ready",
		edits: []edit{{"spool/publish.go", "		if err == nil && done {", "		if done = true; err == nil {"}},
		pkg:   "spool", test: "TestPublishInParts",
	},
	{
		id: "ready-rest", what: "what a large snapshot has left waits for the next transaction",
		edits: []edit{{"tracker/snapshot.go", "	t.db.lookForRest()\n", ""}},
		pkg:   "tracker", test: "TestRestWithoutCommits",
	},
	{
		id: "garbage-again", what: "what was staged again is removed as garbage when the producer ends",
		edits: []edit{{"spool/producer.go", "			if !p.spared[name] {", "			if name != \"\" {"}},
		pkg:   "spool", test: "TestGarbageStagedAgain",
	},
	{
		id: "collected", what: "a snapshot counts although its chunks may have been collected",
		edits: []edit{{"spool/producer.go", "	} else if same {\n		return p.check(op)", "	} else if same || err == nil {\n		return p.check(op)"}},
		pkg:   "spool", test: "TestCollectedUnderASnapshot",
	},
	{
		id: "uses", what: "a staged chunk is garbage when one of its places goes",
		edits: []edit{{"tracker/hot.go", "	u.now--\n	if !u.fresh {", "	u.now = 0\n	if !u.fresh {"}},
		pkg:   "tracker", test: "TestChunkInTwoPlaces",
	},
	{
		id: "uses-held", what: "what the staged manifest needs is garbage while its successor is made",
		edits: []edit{{"tracker/hot.go", "		u.held++\n", ""}},
		pkg:   "tracker", test: "TestReleasedChunksStayUntilTheManifest",
	},
	{
		id: "overrides", what: "an index block is named that nobody uploads",
		edits: []edit{{"spool/index.go", "	if named {\n", "	if named || f != manifest.NoBlock {\n"}},
		pkg:   "tracker", test: "TestHistories",
	},
	{
		id: "index-garbage", what: "index blocks are removed that the staged manifest names",
		edits: []edit{{"spool/index.go", "		if err == nil && (keep(f) || others[f]) {", "		if err == nil && others[f] {"}},
		pkg:   "tracker", test: "TestStagedIsKnown",
	},
	{
		id: "deferred", what: "a large snapshot is taken in the commit",
		edits: []edit{{"tracker/snapshot.go", "t.deferSnapshot(held, v, plans, forced) {", "false {"}},
		pkg:   "tracker", test: "TestLargeSnapshotIsDeferred",
	},
	{
		id: "deferred-foreign", what: "a deferred snapshot goes on over what a stranger wrote",
		edits: []edit{{"tracker/deferred.go", "	case sameID(d.id, v.id):\n", "	case len(v.id) > 0:\n"}},
		pkg:   "tracker", test: "TestInterferenceWithADeferredSnapshot",
	},
	{
		id: "deferred-changes", what: "what is written while a deferred snapshot is under way is not read again",
		edits: []edit{{"tracker/deferred.go", "	t.dirty.merge(&d.left)\n", "	if t.adopted {\n		t.dirty.merge(&d.left)\n	}\n"}},
		pkg:   "tracker", test: "TestCommitsDuringADeferredSnapshot",
	},
	{
		id: "meanwhile", what: "what is written while a snapshot that gave way makes its files is not read again",
		edits: []edit{{"tracker/ahead.go", "		w.left.merge(&t.dirty)\n", ""}},
		pkg:   "tracker", test: "TestCommitsWhileFilesAreMade",
	},
	{
		id: "meanwhile-foreign", what: "a transaction meanwhile counts as the only one since the snapshot gave way",
		edits: []edit{{"tracker/ahead.go", " || !sameID(w.id, t.prev)\n", "\n"}},
		pkg:   "tracker", test: "TestCommitsWhileFilesAreMade",
	},
	{
		id: "meanwhile-early", what: "a snapshot goes on before those who wrote meanwhile have said so",
		edits: []edit{{"tracker/ahead.go", "	w.writers.Wait()\n", ""}},
		pkg:   "tracker", test: "TestWriterIsWaitedFor",
	},
	{
		id: "ahead-lost", what: "a snapshot counts on a file that could not be made",
		edits: []edit{{"tracker/ahead.go", "		p.ts.hot = nil // it counts", "		// it counts"}},
		pkg:   "tracker", test: "TestFaultWhileFilesAreMade",
	},
	{
		id: "ahead-locked", what: "a snapshot that somebody waits for makes its files at once",
		edits: []edit{{"tracker/build.go", "	if !b.waited {\n", "	if true {\n"}},
		pkg:   "tracker", test: "TestReadsWhileOthersWait",
	},
	{
		id: "journal-unreadable", what: "a journal that another user has just made is an error",
		edits: []edit{{"tracker/snapshot.go", "!magic && !errors.Is(err, fs.ErrPermission) {", "!magic {"}},
		pkg:   "tracker", test: "TestJournalOfAnotherUser",
	},
	{
		id: "deferred-starved", what: "commits without a pause put the look for deferred snapshots off",
		edits: []edit{{"repair.go", "time.Until(last.Add(repairPace))", "repairPace"}},
		test:  "TestLargeSnapshotAmongCommits",
	},
	{
		id: "deferred-anew", what: "full snapshots follow each other while the spool is deleted",
		edits: []edit{{"tracker/deferred.go", "		pause = max(pause, fullEvery-time.Since(t.db.fullAt))\n", ""}},
		pkg:   "tracker", test: "TestFullSnapshotsAreNotTakenAllTheTime",
	},
	{
		id: "deferred-races", what: "one race with writers follows the other",
		edits: []edit{{"tracker/deferred.go", "		pause = max(0, raceEvery-time.Since(t.db.racedAt))\n", ""}},
		pkg:   "tracker", test: "TestTimeBetweenRaces",
	},
	{
		id: "deferred-outrun", what: "a snapshot that writers outrun never gets ahead",
		edits: []edit{{"tracker/deferred.go", "		r.haste++\n", ""}},
		pkg:   "tracker", test: "TestRace",
	},
	{
		id: "deferred-slow", what: "writers never wait longer for a snapshot that does not get ahead even without pauses",
		edits: []edit{{"tracker/deferred.go", "		r.effort = min(r.effort+1, maxEffort)\n", ""}},
		pkg:   "tracker", test: "TestRace",
	},
	{
		id: "quiet", what: "large snapshots, too, are put off until the next upload",
		edits: []edit{{"tracker/burst.go", "chunks <= maxQuiet", "true"}},
		pkg:   "tracker", test: "TestBurstUntilTheNextUpload",
	},
	{
		id: "proof", what: "the copier takes for uploaded what an index block names that the store has not",
		edits: []edit{{"copier/compare.go", "	if block.Stored != old.Stored {\n		return nil, false\n	}\n", ""}},
		pkg:   "copier", test: "TestComparisonAgainstFlatSets",
	},
	{
		id: "visitor-moved", what: "a visitor reads a database that was renamed under it",
		edits: []edit{{"wasmvfs/visit.go", "merr == nil && moved {", "merr == nil && moved && false {"}},
		pkg:   "wasmvfs", test: "TestVisitorOfARenamedDatabase",
	},
	{
		id: "files", what: "spools stay open for later as long as there are file descriptors",
		edits: []edit{{"tracker/warm.go", "for e := w.used.Front(); e != nil && ", "for e := w.used.Front(); e != nil && len(w.at) < 0 && "}},
		pkg:   "tracker", test: "TestOpenSpools",
	},
	{
		id: "files-spare", what: "what is open for later stays open when SQLite finds no file descriptor",
		edits: []edit{{"wasmvfs/spare.go", "	v.visits.clear()\n	if v.spare != nil {", "	if false {"}},
		pkg:   "conformance/e2e", test: "TestFewFiles",
	},
	{
		id: "fork", what: "another machine's state passes for the present one if both committed as often since a copy",
		edits: []edit{{"status.go", "!t.forked(m, header) && ", ""}},
		test:  "TestStatusOfAFork",
	},
	{
		id: "pruned", what: "an entry that was pruned, whose object others need, is restored",
		edits: []edit{{"replica/logrep/head.go", "\n	if pruned.Has(number) {", "\n	if pruned.Has(number) && number == 0 {"}},
		pkg:   "copier/logwriter", test: "TestCopyPruned",
	},
	{
		id: "lost", what: "entries that are gone are taken for pruned ones",
		edits: []edit{{"replica/logrep/check.go", "	for _, r := range missing {\n", "	for _, r := range missing[:0] {\n"}},
		pkg:   "replica/logrep", test: "TestMissingObjects",
	},
	{
		id: "lost-end", what: "an entry that is lost is taken for the end of the log",
		edits: []edit{{"replica/logrep/head.go", "	for last == nil && err == nil {", "	for false && last == nil && err == nil {"}},
		pkg:   "replica/logrep", test: "TestHeadWithLostEntry",
	},
	{
		id: "lost-listed", what: "whoever prunes lists what was lost among what is pruned",
		edits: []edit{{"copier/logwriter/prune.go", "				if before && now {\n", "				if before || now {\n"}},
		pkg:   "copier/logwriter", test: "TestPruneLost",
	},
	{
		id: "lost-copied", what: "a copy without objects that the source has lost passes for complete",
		edits: []edit{{"copier/logwriter/copy.go", "	if err := c.check(ctx); err != nil {\n		return err\n	}\n", ""}},
		pkg:   "copier/logwriter", test: "TestCopyOfDamage",
	},
	{
		id: "garbage-copied", what: "a copy does not list what waits to be removed, so that nobody misses it there",
		edits: []edit{{"copier/logwriter/copylists.go", "				m.waste = append(m.waste, o)\n", "				_ = o\n"}},
		pkg:   "copier/logwriter", test: "TestCopyOfGarbage",
	},
	{
		id: "garbage-newest", what: "a copy lists as garbage what its newest state needs, for that was pruned in the source meanwhile",
		edits: []edit{{"copier/logwriter/copylists.go", "	if list.Pruned.Has(c.newest.Number) {\n", "	if list.Pruned.Has(0) {\n"}},
		pkg:   "copier/logwriter", test: "TestCopyNewestIsPruned",
	},
	{
		id: "late-copy", what: "a copy of an old header that was put late hides the newest entry",
		edits: []edit{{"replica/logrep/head.go", "	case err == nil && pruned.Last() >= newest.Entry.Number:\n", "	case err == nil && pruned.Last() > remotelog.MaxNumber:\n"}},
		pkg:   "replica/logrep", test: "TestHeadOfStaleCopy",
	},
	{
		id: "late-put", what: "a put of the copy of the newest header that arrives late succeeds",
		edits: []edit{{"copier/logwriter/latest.go", "		cond := store.Condition{IfMatch: c.etag}\n", "		cond := store.Condition{}\n"}},
		pkg:   "copier/logwriter", test: "TestLateCopy",
	},
	{
		id: "latest-late", what: "the copy of the newest header comes two seconds after the entry",
		edits: []edit{{"copier/logwriter/latest.go", "	return w.appended\n}\n\n// RefreshLatest", "	return w.appended.Add(2 * time.Second)\n}\n\n// RefreshLatest"}},
		pkg:   "copier", test: "TestLatestAfterCommits",
	},
	{
		id: "latest-again", what: "the copy of the newest header is not refreshed if it has to wait",
		edits: []edit{{"copier/logpass.go", "			p.lookAgain(due)\n		default:\n", "		default:\n"}},
		pkg:   "copier", test: "TestLatestAfterCommits",
	},
	{
		id: "latest-pace", what: "the copy of the newest header is put as often as somebody flushes",
		edits: []edit{{"copier/logwriter/latest.go", "	lack := max(1-p.limit.TokensAt(p.tried), 0)\n", "	lack := 0.0\n"}},
		pkg:   "copier/logwriter", test: "TestLatestDue",
	},
	{
		id: "latest-cost", what: "commits that go on and on cost twice as many requests, for the copies of headers",
		edits: []edit{{"copier/logpass.go", "max(spacing, until(1))", "spacing"}},
		pkg:   "copier", test: "TestLatestAfterCommits",
	},
	{
		id: "spacing-forgotten", what: "who opens a database for each commit pays more than who keeps it open",
		edits: []edit{{"copier/logpass.go", "now.Add(until(logBurst))", "now"}},
		pkg:   "copier", test: "TestSpacingOfManyOpens",
	},
	{
		id: "latest-tail", what: "check takes any bytes behind the copy of a header",
		edits: []edit{{"remotelog/latest.go", "	if binary.BigEndian.Uint32(copied[at:]) != ", "	if at < 0 && binary.BigEndian.Uint32(copied[at:]) != "}},
		pkg:   "remotelog", test: "TestTail",
	},
	{
		id: "lately-read", what: "what a writer has just appended it reads to put it into bundles",
		edits: []edit{{"copier/logwriter/lately.go", "	return part, part.frames != nil\n", "	return part, false\n"}},
		pkg:   "copier/logwriter", test: "TestBundlesOfNewest",
	},
	{
		id: "lately-forgotten", what: "bundles have what a log had that was lost",
		edits: []edit{{"copier/logwriter/reader.go", "nil, nil, bundled{}, lately{}\n", "nil, nil, bundled{}, w.lately\n"}},
		pkg:   "copier/logwriter", test: "TestBundlesOfAnothersLog",
	},
	{
		id: "latest-compaction", what: "the entry of a compaction has no copy of its header until the next commit",
		edits: []edit{{"copier/logpass.go", "	p.compact(ctx)\n	return p.refreshLatest(ctx)\n", "	p.compact(ctx)\n	return nil\n"}},
		pkg:   "copier", test: "TestLatestAfterCompaction",
	},
	{
		id: "latest-stale", what: "a copy of an older header replaces that of a newer one where the store can not tell",
		edits: []edit{{"copier/logwriter/latest.go", "		w.latest.etag = \"\" // others", "		_ = \"\" // others"}},
		pkg:   "copier/logwriter", test: "TestRefreshAfterSleep",
	},
	{
		id: "lost-newest", what: "a writer goes on from an entry that was lost",
		edits: []edit{{"copier/logwriter/damage.go", "	w.damage.sizes, w.damage.of, w.distrust = sizes, n, false\n", "	_, w.damage.of, w.distrust = sizes, n, false\n"}},
		pkg:   "copier", test: "TestLostEntries",
	},
	{
		id: "lost-flush", what: "a flush that has nothing to upload does not look for the newest entry",
		edits: []edit{{"copier/logpass.go", "	case store.IsNotExist(err) && there:\n", "	case store.IsNotExist(err) && there && head.Entry.Sequence >= m.m.Sequence:\n		return nil\n	case store.IsNotExist(err) && there:\n"}},
		pkg:   "copier", test: "TestLostEntries",
	},
	{
		id: "lost-log", what: "a writer appends to a log that is gone",
		edits: []edit{{"copier/logwriter/sure.go", "	case h.number() > 0 && !w.noCopy:\n", "	case h.number() > 0 && !w.noCopy && known.number > 1<<40:\n"}},
		pkg:   "copier", test: "TestWipedUnderWriter",
	},
	{
		id: "lost-remembered", what: "a writer whose newest entry is lost goes on from what it remembers",
		edits: []edit{{"copier/logpass.go", "	delete(p.e.logs, m.name) // the writer would go on from what is lost\n", ""}},
		pkg:   "copier", test: "TestLostEntries",
	},
	{
		id: "lost-known", what: "a restore gives an older state though the spool knows of a newer one",
		edits: []edit{{"uploaded.go", "	f := known.Lost(name, newest.Entry)\n", "	known = logrep.KnownState{}\n	f := known.Lost(name, newest.Entry)\n"}},
		pkg:   ".", test: "TestCheckOfLostNewest",
	},
	{
		id: "lost-busy", what: "a bucket that was emptied under a writer that is never idle goes unnoticed",
		edits: []edit{{"copier/logwriter/latest.go", "(copied != nil || info.ETag == \"\") && c.isOther(&known):", "(copied != nil || info.ETag == \"\") && c == nil:"}},
		pkg:   "copier", test: "TestWipedUnderWriter",
	},
	{
		id: "lost-probe", what: "the probe for conditional puts hides that the log is gone",
		edits: []edit{{"copier/logwriter/plain.go", "try > 0 && there {", "try > 1 && there {"}},
		pkg:   "copier", test: "TestWipedUnderWriter",
	},
	{
		id: "lost-same-number", what: "a log that was begun anew passes for the old one if it has as many entries",
		edits: []edit{{"copier/logwriter/latest.go", "	return ok && sum != copied.Sum()\n", "	return ok && sum != copied.Sum() && c.number > 1<<40\n"}},
		pkg:   "copier/logwriter", test: "TestOtherLog",
	},
	{
		id: "lost-gap", what: "who goes on after a kill puts entries into a gap of lost ones",
		edits: []edit{{"copier/logwriter/reader.go", "found.Entry.Sequence < w.o.Known:", "found.Entry.Sequence < w.o.Known && w == nil:"}},
		pkg:   "copier", test: "TestGapAfterKill",
	},
	{
		id: "lost-at", what: "a restore to a time whose entry was lost gives an older state",
		edits: []edit{{"replica/logrep/history.go", "	if !s.listed || first > last ||", "	if s.listed || first > last ||"}},
		pkg:   "replica/logrep", test: "TestAtOfLost",
	},
	{
		id: "copy-loop", what: "an append that takes long begins again and again while there is no copy of the newest header",
		edits: []edit{{"copier/logwriter/sure.go", "	case h.number() > 0 && !w.noCopy:\n", "	case h.number() > 0:\n"}},
		pkg:   "copier/logwriter", test: "TestSlowAppendWithoutCopy",
	},
	{
		id: "copy-short", what: "a copy of a header that is cut short is never replaced",
		edits: []edit{{"copier/logwriter/latest.go", " || errors.Is(err, remotelog.ErrShort) {", " {"}},
		pkg:   "copier/logwriter", test: "TestDamagedCopy",
	},
	{
		id: "damaged-newest", what: "a damaged header of the newest entry ends replication",
		edits: []edit{{"copier/logwriter/reader.go", "	case isDamage(err) && !store.IsNotExist(err):\n", "	case isDamage(err) && !store.IsNotExist(err) && w == nil:\n"}},
		pkg:   "copier/logwriter", test: "TestDamagedNewestEntry",
	},
	{
		id: "repair-chunk", what: "a damaged chunk is not uploaded again",
		edits: []edit{{"copier/logwriter/damage.go", "	return d.found != nil && d.found.Chunks[i] ||", "	return"}},
		pkg:   "copier/logwriter", test: "TestDamageIsRepaired",
	},
	{
		id: "repair-beside", what: "a repair that another process overtakes, which knows nothing of the damage, passes for done",
		edits: []edit{{"copier/flush.go", "		if p.e.damage[m.name] != nil {\n", "		if p.e.damage[m.name] != nil && m.m == nil {\n"}},
		pkg:   "copier", test: "TestRepairBesideAnother",
	},
	{
		id: "repair-doubt", what: "a process whose newest entry another one found to be lost goes on from what it remembers",
		edits: []edit{{"copier/logpass.go", "	if tap.doubt && !p.e.doubts[m.name] {\n", "	if tap.doubt && tap.data != nil {\n"}},
		pkg:   "copier", test: "TestRepairBesideAnother",
	},
	{
		id: "repair-index", what: "an index block that can't be read ends replication",
		edits: []edit{{"copier/logwriter/writer.go", "	for w.suspect(err) {\n", "	for w.suspect(err) && w == nil {\n"}},
		pkg:   "copier/logwriter", test: "TestLostIndexIsStoredAgain",
	},
	{
		id: "repair-block", what: "an index block that is gone is relied on",
		edits: []edit{{"copier/logwriter/append.go", " || a.w.damage.block(b, &a.old.blocks()[b]) {", " {"}},
		pkg:   "copier/logwriter", test: "TestDamageIsRepaired",
	},
	{
		id: "cut-answer", what: "a refusal whose body got lost is final",
		edits: []edit{{"store/s3/errors.go", "	case e.kind == nil && isCut(err): //", "	case e.kind == nil && isCut(nil): //"}},
		pkg:   "store/s3", test: "TestCutAnswers",
	},
	{
		id: "late-append", what: "a writer that slept relies on a copy of its own that was put late",
		edits: []edit{{"copier/logwriter/sure.go", "	return pruned.Last() >= number, nil, err", "	return pruned.Last() > remotelog.MaxNumber, nil, err"}},
		pkg:   "copier/logwriter", test: "TestLateCopy",
	},
	{
		id: "grace", what: "what nothing needs any more is removed by who finds it first",
		edits: []edit{{"copier/logwriter/garbage.go", "	if known && !found.After(g.cutoff) {\n", "	if !known || !found.After(g.cutoff) {\n"}},
		pkg:   "copier/logwriter", test: "TestPruneGrace",
	},
	{
		id: "grace-restart", what: "the grace of garbage ends as if it was found when the log began",
		edits: []edit{{"copier/logwriter/garbage.go", "			b.Found = g.info.ModTime.Truncate(time.Millisecond)\n", "			b.Found = time.UnixMilli(1)\n"}},
		pkg:   "copier/logwriter", test: "TestPruneGrace",
	},
	{
		id: "grace-anew", what: "the grace goes on though the list of pruned entries was lost meanwhile",
		edits: []edit{{"copier/logwriter/garbage.go", "		if g.anew = !g.goesWith(&p.list); g.anew {\n", "		if g.anew = false; g.anew {\n"}},
		pkg:   "copier/logwriter", test: "TestPruneWithoutTheListOfPruned",
	},
	{
		id: "grace-clock", what: "a machine whose clock is ahead ends the grace early",
		edits: []edit{{"copier/logwriter/prune.go", "		p.waste.ripen(now.Add(-p.o.Grace))\n", "		p.waste.ripen(now.Add(p.o.Grace))\n"}},
		pkg:   "copier/logwriter", test: "TestPruneByTheClockOfTheStore",
	},
	{
		id: "wrong-clock", what: "one wrong clock makes a policy go by what entries say only",
		edits: []edit{{"copier/logwriter/prune.go", "	return [][]Point{points, appended}, err\n", "	return [][]Point{appended}, err\n"}},
		pkg:   "copier/logwriter", test: "TestPruneTimes",
	},
	{
		id: "removing", what: "who prunes forgets what it removes before that is gone",
		edits: []edit{{"copier/logwriter/garbage.go", "				removing.Objects = append(removing.Objects, o)\n", "				removing.Objects = nil\n"}},
		pkg:   "copier/logwriter", test: "TestPruneTwice",
	},
	{
		id: "unneeded", what: "check does not read what no state needs",
		edits: []edit{{"replica/logrep/checkgarbage.go", "	if c.opts.Percent <= 0 {\n", "	if c.opts.Percent <= 100 {\n"}},
		pkg:   "copier/logwriter", test: "TestEveryObjectOfAPrunedLog",
	},
	{
		id: "list-lost", what: "check does not miss the list of pruned entries",
		edits: []edit{{"replica/logrep/checkgarbage.go", "		return len(c.garbage.Batches) > 0 && !c.pruned.Garbage || ", "		return c.garbage.Pruned.Last() > remotelog.MaxNumber && "}},
		pkg:   "copier/logwriter", test: "TestEveryObjectOfAPrunedLog",
	},
	{
		id: "bundle-as-is", what: "a frame is taken from a bundle without being looked at",
		edits: []edit{{"replica/logrep/gather.go", "			err = remotelog.CheckFrame(stored)\n", "			err = nil\n"}},
		pkg:   "replica/logrep", test: "TestDamagedBundles",
	},
	{
		id: "bundle-trusted", what: "a restore does not begin anew when what bundles gave was wrong",
		edits: []edit{{"replica/logrep/restore.go", "bundles.suspect(err) && ctx", "!bundles.suspect(err) && ctx"}},
		pkg:   "replica/logrep", test: "TestDamagedBundles",
	},
	{
		id: "bundle-unchecked", what: "check does not look at bundles",
		edits: []edit{{"replica/logrep/check.go", "		if !c.anyKept(u.First, u.End()) {\n			continue", "		if c.anyKept(u.First, u.End()) {\n			continue"}},
		pkg:   "replica/logrep", test: "TestDamagedBundles",
	},
	{
		id: "bundle-pruned", what: "bundles of recovery points are removed",
		edits: []edit{{"copier/logwriter/prune.go", "		if p.keeps(u.First, u.End()) {", "		if false && p.keeps(u.First, u.End()) {"}},
		pkg:   "copier/logwriter", test: "TestPruneBundles",
	},
	{
		id: "bundle-shifted", what: "a bundle says that an entry which was left out has the frames of the next",
		edits: []edit{{"copier/logwriter/bundle.go", "				u.Lengths = append(u.Lengths, int64(len(part.frames)))\n", "				if len(part.frames) > 0 || len(u.Lengths) == 0 {\n					u.Lengths = append(u.Lengths, int64(len(part.frames)))\n				}\n"}},
		pkg:   "copier/logwriter", test: "TestBundlesOfDamaged",
	},
	{
		id: "bundle-copies", what: "a frame and its copy in a bundle, both named by a state, are taken for one",
		edits: []edit{{"replica/logrep/gather.go", "ok && !again && !wanted[c] {", "ok && !again {"}},
		pkg:   "replica/logrep", test: "TestPlacesInBundles",
	},
	{
		id: "bundle-again", what: "what others append is bundled again and again, and nothing rewritten",
		edits: []edit{{"copier/logwriter/compact.go", "	w.plan, w.bundling = nil, bundling{}\n}", "	w.plan, w.bundling, w.allBundled = nil, bundling{}, false\n}"}},
		pkg:   "copier/logwriter", test: "TestBundlingDoesNotStarve",
	},
	{
		id: "bundle-none", what: "nothing is put into bundles, and older states take as many requests as ever",
		edits: []edit{{"copier/logwriter/compact.go", "		if b.count() >= bundleFew {", "		if b.count() < 0 {"}},
		pkg:   "copier/logwriter", test: "TestRequestsOfOlderStates",
	},
	{
		id: "seal-key", what: "a seal is right for any pack of that length",
		edits: []edit{{"remotelog/seal.go", "	if !bytes.Equal(raw[:sumSize], ", "	if bytes.Equal(raw[:0], "}},
		pkg:   "replica/logrep", test: "TestSwappedPacks",
	},
	{
		id: "seal-length", what: "a seal is right wherever it is in its pack",
		edits: []edit{{"remotelog/seal.go", "n != uint64(size-SealSize) {", "n > 1<<62 {"}},
		pkg:   "replica/logrep", test: "TestCutPacks",
	},
	{
		id: "seal-garbage", what: "check reads the seals of those packs only that states need",
		edits: []edit{{"replica/logrep/checkseal.go", "		if !c.hasSeal(id) || ", "		if !c.hasSeal(id) || !c.used[id] || "}},
		pkg:   "replica/logrep", test: "TestSwappedPacks",
	},
	{
		id: "seal-pruned", what: "check takes a pack that was pruned meanwhile for one without its seal",
		edits: []edit{{"replica/logrep/checkseal.go", "	case errors.Is(err, store.ErrNotExist):\n		return nil", "	case errors.Is(err, store.ErrUnknownOutcome):\n		return nil"}},
		pkg:   "replica/logrep", test: "TestPackGoneMeanwhile",
	},
	{
		id: "inline-cut", what: "check does not compare how long an entry is with what it says",
		edits: []edit{{"replica/logrep/check.go", "	if err == nil || c.lost[id] {\n", "	if err == nil || c.sizes[id] >= 0 {\n"}},
		pkg:   "replica/logrep", test: "TestCutEntries",
	},
	{
		id: "seal-older", what: "packs are to have a seal that a program may have left which writes none",
		edits: []edit{{"copier/logwriter/reader.go", "		return h.number() + 2\n", "		return h.number() + 1\n"}},
		pkg:   "copier/logwriter", test: "TestOlderLogIsContinued",
	},
	{
		id: "seal-salvage", what: "packs are to have a seal that are salvaged from a program which writes none",
		edits: []edit{{"copier/logwriter/append.go", "	if w.salvaged.unsealed {\n", "	if w.salvaged.unsealed && w == nil {\n"}},
		pkg:   "copier/logwriter", test: "TestOlderUploadIsContinued",
	},
	{
		id: "seal-copied", what: "a pack that was cut is copied like one that never had a seal",
		edits: []edit{{"copier/logwriter/copy.go", "		if c.newest.HasSeal(id) {\n", "		if c.newest == nil {\n"}},
		pkg:   "copier/logwriter", test: "TestCopyOfUnneeded",
	},
	{
		id: "seal-repair", what: "what lies in a pack without its seal is not repaired, so that the pack stays for ever",
		edits: []edit{{"replica/logrep/examine.go", "	maps.Copy(wrong, c.unsealed)\n", ""}},
		pkg:   "copier/logwriter", test: "TestUnsealedIsRepaired",
	},
	{
		id: "repair-header", what: "what lies behind the damaged header of an entry is not repaired, so that the entry stays for ever",
		edits: []edit{{"replica/logrep/examine.go", "c.usedHeaders(ctx, e, d, wrong); err != nil", "c.stopped(); err != nil"}},
		pkg:   "copier/logwriter", test: "TestSpoiledIsRepaired",
	},
	{
		id: "repair-spoiled", what: "of an object with a damaged frame the others are relied on, so that it stays for ever",
		edits: []edit{{"replica/logrep/examine.go", "	wrong := c.damaged()\n", "	wrong := map[remotelog.ObjectID]bool{}\n"}},
		pkg:   "copier/logwriter", test: "TestSpoiledIsRepaired",
	},
	{
		id: "repair-near-index", what: "an index block stays in an object in which something is damaged",
		edits: []edit{{"copier/logwriter/append.go", ", anew: a.w.damage.index(b)}", "}"}},
		pkg:   "copier/logwriter", test: "TestSpoiledIsRepaired",
	},
	{
		id: "durability", what: "the directory of a new journal is not synced",
		edits: []edit{{"wasmvfs/journal_unix.go", "	return f.vfs.syncDirectory(dir)\n", "	_ = dir\n	return nil\n"}},
		pkg:   "wasmvfs", test: "TestNewJournalIsDurable",
	},
	{
		id: "durability-power", what: "the directory of a new journal is not synced, and the power fails",
		edits: []edit{{"wasmvfs/journal_unix.go", "f.dir = filepath.Dir(path)\n", "f.dir = filepath.Dir(path)[:0]\n"}},
		pkg:   "wasmvfs", test: "TestPowerLoss",
	},
	{
		id: "durability-removal", what: "the directory of a removed journal is not synced, and the power fails",
		edits: []edit{{"wasmvfs/vfs.go", "err != nil || !syncDir {", "err != nil || true {"}},
		pkg:   "wasmvfs", test: "TestPowerLoss",
	},
	{
		id: "superseded", what: "a manifest replaces one with a greater sequence",
		edits: []edit{{"copier/upload.go", "	case m.m.Sequence < tap.sequence:\n", "	case m.m.Sequence < tap.sequence && tap.doubt:\n"}},
		pkg:   "copier", test: "TestSuperseded",
	},
	{
		id: "tap-token", what: "two uploads that overlapped are not known by the attempt, but by the tap alone",
		edits: []edit{{"copier/upload.go", "		token != p.e.root.TapToken(p.e.key.Target, m.name)\n", "		token == \"never\"\n"}},
		pkg:   "copier", test: "TestSlowManifestWithLostReply",
	},
}
