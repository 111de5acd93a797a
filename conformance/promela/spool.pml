/*
 * The spool protocol: trackers, copiers, and a store. README.md says what is modelled, which
 * step is which function, how far the model is bounded, and why that is enough.
 *
 * A step is one operation on the file system or one request. A manifest is a byte, 4*sequence +
 * version; a set of chunks is a mask. Version 0 and manifest 0 are none.
 */

#ifndef MAXV
#define MAXV 3		/* versions of the database, of which the first is there already */
#endif
#ifndef CHUNKS
#define CHUNKS 2
#endif
#ifndef READS
#define READS 1		/* evaluations without a write */
#endif
#ifndef KILLS
#define KILLS 1		/* crashes of trackers, at any step; copiers crash as often as they like */
#endif
#ifndef FAILS
#define FAILS 0		/* snapshots that fail before the manifest is staged */
#endif
#ifndef CRASH
#define CRASH true	/* whether copiers crash, at any step */
#endif
#ifndef OPENS
#define OPENS 1		/* times that a copier goes on without the lock around manifests */
#endif
#ifndef LATES
#define LATES 0		/* uploads of manifests that fail, or are carried out later, or both */
#endif
#ifndef TRACKERS
#define TRACKERS 2
#endif
#ifndef COPIERS
#define COPIERS 2
#endif

#define VER(m)	((m) & 3)
#define SEQ(m)	((m) >> 2)

/* Chunks of the versions, but for the first, which travels in the manifest; and what version v has
   that base (0: no base) has not at the same place. A version shares chunks with the one before,
   and the third needs again what was garbage in the second. */
#if CHUNKS == 3	/* (a,b), (c,b), (c,a) */
#define REFS(v)	((v) == 0 -> 0 : ((v) == 1 -> 3 : ((v) == 2 -> 6 : 5)))
#define NEED(base, v)	((base) == 0 -> REFS(v) : ((base) == (v) -> 0 : ((base) == 1 -> ((v) == 2 -> 4 : 5) : 1)))
#elif CHUNKS == 1	/* (a), (b), (c) */
#define REFS(v)	((v) == 0 -> 0 : ((v) == 3 -> 4 : (v)))
#define NEED(base, v)	((base) == (v) -> 0 : REFS(v))
#else			/* (a), (b), (a) */
#define REFS(v)	((v) == 0 -> 0 : ((v) == 2 -> 2 : 1))
#define NEED(base, v)	((base) == 0 -> REFS(v) : (REFS(base) == REFS(v) -> 0 : REFS(v)))
#endif

#ifdef NEW	/* the database has never been seen, else its first version is in the store */
#define FIRST 0
#else
#define FIRST 5
#endif

byte dbv = 1;		/* the version of the database */
byte held;		/* SHARED locks on it */
byte clock = SEQ(FIRST);		/* of the machine: sequences come from it */

byte stm = FIRST, stc;		/* staging/meta, staging/chunks */
bool ready;
byte readym, readyc;
bool cons;
byte consm, consc;
byte storem = FIRST, storec = REFS(VER(FIRST));	/* what the store holds */
byte tap = FIRST;		/* the last manifest known to be in the store */
byte late;		/* a request on its way to the store, given up by whoever sent it */

byte lock;		/* .meta_copy_lock: 1 + who holds it */
bool down;		/* a tracker crashed, and was not started again yet */
bool demand;		/* Options.Desync: only a full snapshot helps */
byte reads = READS, kills = KILLS, fails = FAILS, lates = LATES, opens = OPENS;

/* What each copier compares by identity, as the bits "it changed since I looked". */
bool changed[2];	/* the staged manifest */
bool renewed[2];	/* the token beside the tap */
bool gone[2];		/* the batch that it has open: names of batches are never used twice */

/* Ghosts: nobody acts on them. */
#ifdef BACK
bool inside[2];		/* uploading a manifest */
bool overlap[2];	/* and somebody else did meanwhile */
#endif
#if LATES > 0
bool beaten;		/* a late request undid a newer one */
#else
#define beaten false
#endif

/* Steps that end where the process may be killed. */
#define TSTEP(...)	if :: atomic { __VA_ARGS__ } :: atomic { kills > 0 -> kills--; DEAD } fi
#define CSTEP(...)	if :: atomic { __VA_ARGS__ } :: atomic { CRASH -> OVER } fi

/* A pass ends, or its process: its locks go with it. */
#define OVER \
	lock = (lock == 1 + me -> 0 : lock); LEAVE; \
	staged = 0; raced = 0; err = 0; m = 0; todo = 0; one = 0; tap0 = 0; \
	changed[me] = 0; renewed[me] = 0; gone[me] = 0; \
	goto end

#ifdef BACK
#define LEAVE	inside[me] = 0; overlap[me] = 0
#else
#define LEAVE	skip
#endif

#define UNLOCK	lock = (lock == 1 + me -> 0 : lock); LEAVE; renewed[me] = 0; m = 0

/* A snapshot ends; and so does its process, after which the next one sees the database for the
   first time, and what was written is still there. */
#define DONE	held--; base = 0; dirty = 0; goto end
#define DEAD \
	held--; dirty = 0; published = 0; base = 0; list = 0; one = 0; links = 0; seq = 0; m = 0; \
	down = 1; goto restart

#define PICK(set, one)	one = (set & 1 -> 1 : (set & 2 -> 2 : 4)); set = set & ~one

#define BUMP	changed[0] = 1; changed[1] = 1

/* I4: no chunk that the staged manifest references is nowhere; I5: nor one of ready and consuming. */
#define I4	assert((REFS(VER(stm)) & ~(storec | stc | readyc | consc)) == 0)
#define I5	assert((REFS(VER(consm)) & ~(storec | consc)) == 0 && (REFS(VER(readym)) & ~(storec | readyc | consc)) == 0)
/* I13: a manifest goes to the store after its chunks. */
#define I13(m)	assert((REFS(VER(m)) & ~storec) == 0)

/* Of two that have nothing to do it does not matter which begins. */
#define FIRSTTURN	(!me || held || down)

proctype tracker(bool me)
{
	bool dirty, published;
	byte base, list, one, links, seq, m;

end:	atomic {	/* Tracker.Lock; Tracker.Snapshot holds at least SHARED from here to done */
		if
#ifdef NOSHARED
		:: dbv < MAXV -> dbv++; dirty = 1
#else
		:: FIRSTTURN && held == 0 && dbv < MAXV -> dbv++; dirty = 1
#endif
		:: FIRSTTURN && reads > 0 -> reads--
		:: demand -> demand = 0; stm = 0; BUMP	/* Tracker.plan: Producer.DropStaged */
		fi;
		held++
	}
again:	TSTEP(	/* Tracker.plan: Producer.Staged; Tracker.stage */
		base = stm;
		if
		:: base && VER(base) == dbv && !dirty -> DONE
		:: else
		fi;
#ifdef CLOCKBACK
		seq = (base -> SEQ(base) : SEQ(tap)) + 1;
#else
		clock++; seq = clock;
#endif
		list = NEED(VER(base), dbv);
#ifdef METAFIRST
		stm = 4 * seq + dbv; BUMP;
#endif
		if
		:: !list -> goto staged
		:: else
		fi
	);
chunks:	if	/* Producer.StageChunk */
	:: TSTEP(
		PICK(list, one); stc = stc | one; one = 0;
		if
		:: list -> goto chunks
		:: else
		fi
	)
	:: atomic { fails > 0 -> goto failed }
	fi;
staged:	if	/* Producer.StageManifest */
	:: TSTEP(
#ifndef METAFIRST
		stm = 4 * seq + dbv; BUMP;
#endif
		I4;
		base = 0; seq = 0
	)
	:: atomic { fails > 0 -> goto failed }
	fi;
	TSTEP(	/* Producer.PublishReady; buildReady: ReadDir, Link */
		if
		:: goto gc	/* there is a ready snapshot, or somebody cleaned the scratch directory */
		:: stm -> links = stc & REFS(dbv); m = stm
		fi;
#ifndef NOBUMP
		BUMP
#endif
	);
	TSTEP(	/* Producer.PublishReady: RenameDir */
		if
#ifdef CLOBBER
		:: true ->
#else
		:: !ready ->
#endif
			ready = 1; readym = m; readyc = links; published = 1; I4; I5
		:: true	/* or it is not, or the scratch directory was cleaned */
		fi;
		links = 0; m = 0
	);

gc:	TSTEP(	/* Producer.CollectGarbage: ReadDir */
		if
		:: published -> list = stc
#ifdef GCALL
		:: !published -> list = stc
#else
		:: !published -> list = stc & ~REFS(dbv)
#endif
		:: !published	/* most times there is no collection */
		fi;
		published = 0;
		if
		:: !list -> DONE
		:: else
		fi
	);
	TSTEP(stc = stc & ~list; list = 0; I4; DONE);	/* Producer.CollectGarbage: Remove */

failed:	/* Tracker.conclude; database.distrust makes the next evaluation go on although ids are equal */
	atomic {
		fails--; list = 0; seq = 0;
		if
		:: base && VER(base) == dbv -> stm = 0; BUMP
		:: else
		fi;
		base = 0; held--; down = 1; goto restart
	}
restart:
	atomic { held++; down = 0; goto again }
}

proctype copier(bool me)
{
	bool staged, err, raced;
	byte m, todo, one, tap0;

	/* A pass that would find nothing to do is as good as none. */
end:	atomic {
		if
#ifdef TAKEBUSY
		:: ready ->
#else
		:: ready && !cons ->
#endif
			/* pass.ready: Consumer.TakeReady */
			cons = 1; consm = readym; consc = readyc;
			ready = 0; readym = 0; readyc = 0;
			I4; I5
		:: !ready && !cons && (stc || (stm && stm != tap)) -> goto staging
#ifndef TAKEBUSY
		:: cons
#else
		:: cons && !ready
#endif
		fi;
		todo = consc;	/* Batch.Chunks */
		gone[me] = 0;
#ifdef READYMETAFIRST
		m = consm;
		goto locking
#endif
	}
chunks:	CSTEP(	/* uploader.chunk: Batch.ReadChunk, pass.put, Batch.RemoveChunk */
		if
		:: todo -> PICK(todo, one)
		:: else
		fi;
#ifdef DELFIRST
		if
		:: !gone[me] && (consc & one) -> consc = consc & ~one
		:: else -> one = 0
		fi
	);
	CSTEP(
		storec = storec | one;
#else
		if
		:: !gone[me] && (consc & one) -> storec = storec | one; consc = consc & ~one
		:: else
		fi;
#endif
		one = 0;
		I4; I5;
		if
		:: todo -> goto chunks
		:: else
		fi;
		/* Batch.ChunksDone, Batch.Manifests, Batch.ReadManifest */
		if
		:: !gone[me] && consc -> OVER
		:: !gone[me] && !consc && consm -> m = consm
		:: else -> goto finish
		fi
	);
#ifndef READYMETAFIRST
	goto locking;
#endif
finish:	CSTEP(	/* pass.readyManifests: Batch.RemoveManifest; Batch.Finish */
		if
		:: !gone[me] ->
			consm = 0;
			if
			:: consc -> OVER
			:: else
			fi;
			cons = 0;
#ifndef REUSE
			gone[0] = 1; gone[1] = 1
#endif
		:: else
		fi;
		gone[me] = 0;
		todo = 0; one = 0
	);

staging:
	CSTEP(	/* pass.staging: Consumer.Busy, Consumer.StagedChunks, pass.stagedPending */
		if
		:: ready || cons -> OVER
		:: else
		fi;
		todo = stc;
		if
		:: !todo && (stm == 0 || stm == tap) -> OVER
		:: !todo && !(stm == 0 || stm == tap) -> goto opening
		:: else
		fi
	);
stagedchunks:
#ifdef DELFIRST
	CSTEP(
		PICK(todo, one);
		if
		:: stc & one -> stc = stc & ~one
		:: else -> one = 0
		fi
	);
	CSTEP(
		storec = storec | one;
#else
	CSTEP(	/* uploader.chunk: Consumer.ReadStagedChunk, pass.put, Consumer.RemoveStagedChunk */
		PICK(todo, one);
		if
		:: stc & one -> storec = storec | one; stc = stc & ~one
		:: else
		fi;
#endif
		one = 0;
		I4;
		if
		:: todo -> goto stagedchunks
		:: else
		fi
	);
opening:
	CSTEP(	/* pass.openStaged */
		changed[me] = 0; m = stm;
		if
		:: m == 0 -> OVER
		:: else -> staged = 1
		fi
	);
	/* Consumer.Quiescent */
#if defined(ORDER)		/* the other way round */
	CSTEP(if :: cons -> OVER :: else fi);
	CSTEP(if :: ready -> OVER :: else fi);
	CSTEP(if :: stc -> OVER :: else fi);
#elif defined(ORDERREADY)	/* consuming before ready */
	CSTEP(if :: stc -> OVER :: else fi);
	CSTEP(if :: cons -> OVER :: else fi);
	CSTEP(if :: ready -> OVER :: else fi);
#elif defined(ORDERCHUNKS)	/* staged chunks last */
	CSTEP(if :: ready -> OVER :: else fi);
	CSTEP(if :: cons -> OVER :: else fi);
	CSTEP(if :: stc -> OVER :: else fi);
#elif defined(WHILEBUSY)	/* whatever is in ready and consuming */
	CSTEP(if :: stc -> OVER :: else fi);
#else
	CSTEP(if :: stc -> OVER :: else fi);
	CSTEP(if :: ready -> OVER :: else fi);
	CSTEP(if :: cons -> OVER :: else fi);
#endif

locking:
	CSTEP(	/* pass.publish: Consumer.LockMeta, which fails open */
		if
		:: !lock -> lock = 1 + me
		:: lock && opens > 0 -> opens--
		fi;
#ifdef BACK
		inside[me] = 1;
		if
		:: inside[1 - me] -> overlap[0] = 1; overlap[1] = 1
		:: else
		fi
#endif
	);
	CSTEP(	/* Consumer.Unchanged; pass.manifest: Root.TapToken, pass.readTap */
		if
		:: staged && changed[me] -> OVER
		:: else
		fi;
		renewed[me] = 0;
		if
		:: tap == m -> goto unlock
#ifndef NOSEQ
		:: tap != m && SEQ(m) < SEQ(tap) ->	/* ErrSuperseded */
			if
			:: staged -> demand = 1
			:: else
			fi;
			goto unlock
#endif
		:: else -> tap0 = tap
		fi
	);
	if	/* pass.put */
	:: CSTEP(
		I13(m);
#ifdef BACK
		assert(VER(m) >= VER(storem) || overlap[me]);
#endif
		storem = m
#if LATES > 0
		; beaten = 0
#endif
	)
	:: atomic { lates > 0 && !late -> lates--; err = 1; late = m }
	fi;
	CSTEP(	/* Consumer.LockTap, pass.readTap, Root.RenewTapToken, Root.WriteTap */
		raced = tap != tap0 || renewed[me]; tap0 = 0;
		renewed[1 - me] = 1;
		if
#ifdef NOTOKEN
		:: err
		:: !err -> tap = m
#else
		:: err && (!raced || SEQ(tap) < SEQ(m))
		:: !err && raced && SEQ(tap) < SEQ(m)
		:: else -> tap = m
#endif
		fi;
		raced = 0;
		if
		:: staged || err -> OVER
		:: else
		fi;
		UNLOCK;
		goto unlocked
	);
unlock:	CSTEP(
		if
		:: staged -> OVER
		:: else
		fi;
		UNLOCK
	);
unlocked:
#ifdef READYMETAFIRST
	if
	:: todo -> goto chunks
	:: else
	fi;
#endif
	goto finish
}

#if LATES > 0
/* The network: what was sent arrives, maybe after who sent it gave up. */
proctype network()
{
end:	do
	:: atomic {
		late ->
		if
		:: I13(late); beaten = VER(late) < VER(storem); storem = late
		:: skip	/* or never */
		fi;
		late = 0
	}
	od
}
#endif

init {
	atomic {
		run tracker(0);
#if TRACKERS > 1
		run tracker(1);
#endif
		run copier(0);
#if COPIERS > 1
		run copier(1);
#endif
#if LATES > 0
		run network();
#endif
	}
	/* Nobody can do anything more: writes have stopped and the copiers found nothing to do.
	   I15, and nothing is left behind. */
	timeout -> assert(VER(stm) == dbv && stc == 0 && !ready && !cons && !lock);
	assert(VER(storem) == dbv || beaten)
}
